"""What flatlab's names are, for type checkers and editors: at run time they are imported when first used."""

from flatlab import averaging as averaging
from flatlab import checkpoints as checkpoints
from flatlab import checks as checks
from flatlab import curvature as curvature
from flatlab import curves as curves
from flatlab import data as data
from flatlab import descent as descent
from flatlab import grokking as grokking
from flatlab import models as models
from flatlab import noise as noise
from flatlab import notebook as notebook
from flatlab import plots as plots
from flatlab import sam as sam
from flatlab import stability as stability
from flatlab import student as student
from flatlab import sweeps as sweeps
from flatlab import tails as tails
from flatlab import training as training
from flatlab import widgets as widgets
from flatlab.curvature import GaussNewton as GaussNewton
from flatlab.curvature import Hessian as Hessian
from flatlab.curvature import HessianVariance as HessianVariance
from flatlab.curvature import epsilon_sharpness as epsilon_sharpness
from flatlab.curvature import frobenius_norm as frobenius_norm
from flatlab.curvature import non_uniformity as non_uniformity
from flatlab.curvature import sharpness as sharpness
from flatlab.curvature import spectral_density as spectral_density
from flatlab.curvature import top_eigenpairs as top_eigenpairs
from flatlab.curvature import trace as trace
from flatlab.data import load_dataset as load_dataset
from flatlab.data import use_variant as use_variant
from flatlab.sam import SAM as SAM
from flatlab.stability import is_linearly_stable as is_linearly_stable
from flatlab.stability import non_uniformity_bound as non_uniformity_bound
from flatlab.stability import plot_stability_region as plot_stability_region
from flatlab.stability import sharpness_bound as sharpness_bound
from flatlab.sweeps import sweep as sweep
from flatlab.tails import sample_stable as sample_stable
from flatlab.tails import tail_index as tail_index
from flatlab.training import fit as fit

__version__: str
