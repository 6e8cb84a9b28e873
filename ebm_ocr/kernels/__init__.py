"""The recurrences behind ``ebm_ocr.alignment``, which validates and chooses; call that instead."""
