"""The type checker that executes signatures in tests: an int will do where a float is wanted, as Python has it."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
