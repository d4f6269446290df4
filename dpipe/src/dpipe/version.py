"""The version of this distribution, which is that of the service it was released with."""

VERSION = "1.1.0"
