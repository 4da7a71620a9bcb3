"""The web page: runs models on the images of its visitors. Needs gradio."""

from .server import Limits, serve

__all__ = ['Limits', 'serve']
