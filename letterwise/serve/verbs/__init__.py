"""Verbs: what else a model can be asked, at /api. A file for each."""

from fastapi import APIRouter

ROUTERS: list[APIRouter] = []
