"""The pytest plugin of asyncflow: the `virtual_time` fixture."""
