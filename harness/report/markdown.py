"""placeholder"""
def markdown(report): return ""
