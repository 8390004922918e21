"""Survey files, and nothing else: tables and image tiles in, canonical columns and pixels out."""

from kidsclf.surveys.column_map import ColumnMap, CutRule
from kidsclf.surveys.map_files import load_column_map, preset_names
from kidsclf.surveys.tables import Chunk, find_files, plan_chunks, read_chunk
from kidsclf.surveys.tile_pixels import TileWindow, footprint_contains, read_window
from kidsclf.surveys.tiles import TileHeader, read_tile_header, read_tile_headers

__all__ = [
    "Chunk",
    "ColumnMap",
    "CutRule",
    "TileHeader",
    "TileWindow",
    "find_files",
    "footprint_contains",
    "load_column_map",
    "plan_chunks",
    "preset_names",
    "read_chunk",
    "read_tile_header",
    "read_tile_headers",
    "read_window",
]
