"""A FastAPI service under limits."""
