"""The web page: runs models on the images of its visitors. Needs gradio."""

from .server import Limits, check_gradio, serve

__all__ = ['Limits', 'check_gradio', 'serve']
