"""PyTorch's own samples of its modules, as ports: each is compared with its namesake in PaddlePaddle.

`listed` reads them, `pairs` says what a careful porter writes in their place, `sides` builds both, `measure` counts.
"""
