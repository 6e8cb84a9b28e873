"""A reader for words in fonts that it has never seen: the homework's system at full size.

``fonts`` finds faces to draw with, ``words`` what to write, ``degradation`` what happens to ink on
its way through a printer and a camera.
"""
