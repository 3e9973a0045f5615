"""Guidance: denoisers that change the prediction of another, for example toward a condition. They can be nested."""

from .autoguidance import AutoGuidance as AutoGuidance
from .base import Guided as Guided
from .bounds import Clip as Clip
from .bounds import DynamicThreshold as DynamicThreshold
from .classifier_free import ClassifierFree as ClassifierFree
from .classifier_free import plus_plus as plus_plus
from .gradients import Classifier as Classifier
from .gradients import Embedding as Embedding
from .variants import APG as APG
from .variants import CFGZeroStar as CFGZeroStar
