"""Does a user's own model, ported to another framework, train as the original does?"""
