"""Pages to look at: HTML that needs no server and no network. They draw what they are given."""

from deap_xai.pages.command import command_line
from deap_xai.pages.gallery import gallery_page
from deap_xai.pages.pictures import thumbnail
from deap_xai.pages.rendering import encoded
from deap_xai.pages.report import explanation_page

__all__ = ["command_line", "encoded", "explanation_page", "gallery_page", "thumbnail"]
