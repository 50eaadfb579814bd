"""Mode connectivity: curves of low loss between networks, planes through three, permutation alignment."""

from flatlab.curves.alignment import Alignment, align
from flatlab.curves.flat import flatten
from flatlab.curves.losses import CurveLosses, losses_along
from flatlab.curves.paths import Bezier, Curve, PolygonalChain
from flatlab.curves.planes import Plane, PlaneLosses, losses_on_plane, plane_through

__all__ = [
    "Alignment",
    "Bezier",
    "Curve",
    "CurveLosses",
    "Plane",
    "PlaneLosses",
    "PolygonalChain",
    "align",
    "flatten",
    "losses_along",
    "losses_on_plane",
    "plane_through",
]
