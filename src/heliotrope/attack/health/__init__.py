"""Signs of whether an attack worked: a robustness number is worth no more than they are."""
