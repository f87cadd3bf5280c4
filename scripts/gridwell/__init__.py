"""gridwell: from the raw image of a screening slide to numbers a biologist can trust."""

__version__ = "0.1.0"
