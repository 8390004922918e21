"""Survey files, and nothing else: tables and image tiles in, canonical columns and pixels out."""

from kidsclf.surveys.column_map import ColumnMap
from kidsclf.surveys.map_files import load_column_map, preset_names
from kidsclf.surveys.tables import Chunk, find_files, plan_chunks, read_chunk
from kidsclf.surveys.tile_names import TileFiles, pair_tiles
from kidsclf.surveys.tile_pixels import TileStrip, footprint_contains, open_tile
from kidsclf.surveys.tiles import TileHeader, read_tile_header

__all__ = [
    "Chunk",
    "ColumnMap",
    "TileFiles",
    "TileHeader",
    "TileStrip",
    "find_files",
    "footprint_contains",
    "load_column_map",
    "open_tile",
    "pair_tiles",
    "plan_chunks",
    "preset_names",
    "read_chunk",
    "read_tile_header",
]
