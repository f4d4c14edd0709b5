"""What tests of asyncflow programs need: virtual time."""
