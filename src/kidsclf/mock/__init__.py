"""A synthetic KiDS-like survey, written in the survey's own file formats."""

from kidsclf.mock.settings import BandDepths, MockSettings
from kidsclf.mock.survey import MockSurvey, write_survey

__all__ = ["BandDepths", "MockSettings", "MockSurvey", "write_survey"]
