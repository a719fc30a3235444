"""Every figure that the course notes print, once more: `scripts/reproduce.py`.

`figures.json` lists them as the notes print them, `runs.py` has the notes' training runs,
`values.py` jaxcls's value of each figure, `checks.py` and `verdicts.py` say whether the two agree, and
`cli/reproduce.py` goes through them all. `pages/` has the code of each section beside PyTorch's.
"""
