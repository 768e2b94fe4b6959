from hypothesis import settings

# No test of this project depends on the clock; loaded machines are slow.
settings.register_profile("quantdet", deadline=None)
settings.load_profile("quantdet")
