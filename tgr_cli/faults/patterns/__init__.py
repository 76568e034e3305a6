"""Patterns: which elements of a site a fault strikes beside the one that was drawn."""

from tgr_cli.faults.patterns.element import Element as Element
from tgr_cli.faults.patterns.layout import Layout as Layout
from tgr_cli.faults.patterns.names import pattern_from as pattern_from
from tgr_cli.faults.patterns.names import pattern_named as pattern_named
from tgr_cli.faults.patterns.names import pattern_of as pattern_of
from tgr_cli.faults.patterns.pattern import Pattern as Pattern
