"""Moved."""

raise ImportError("ebm_ocr.paths is now ebm_ocr.path_matrix")
