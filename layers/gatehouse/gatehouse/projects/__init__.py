"""The project file: what it may say (`model`), how it is read (`document`), checked and loaded (`load`)."""

from gatehouse.projects.health import health_urls
from gatehouse.projects.load import Problem, ProjectFileError, Projects, load
from gatehouse.projects.model import Project, Route, Tokens

__all__ = ["Problem", "Project", "ProjectFileError", "Projects", "Route", "Tokens", "health_urls", "load"]
