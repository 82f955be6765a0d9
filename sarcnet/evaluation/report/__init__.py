"""The report of a run: TRIPOD+AI and PROBAST+AI checklists, model card, data card, and result tables as files.

The texts are data files in this folder. `write.facts` computes what they state from the run's results, and
`write.write_report` fills them in, so that a statement cannot outlive its number.
"""
