"""A reader for words in fonts that it has never seen: the homework's system at full size.

To read: ``images`` makes a strip of whatever is handed over, ``network`` gives its energies,
``reading`` searches them exactly, ``confidence`` says how sure that is, ``boxes`` where the letters
are. To train: ``fonts`` finds faces to draw with, ``words`` what to write, ``degradation`` what
happens to ink on its way through a printer and a camera, ``recipe`` goes from there to weights and
``checkpoint`` keeps them.
"""

from .reading import Alternative, Letter, Reader, Word

__all__ = ["Alternative", "Letter", "Reader", "Word"]
