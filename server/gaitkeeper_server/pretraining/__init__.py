"""A study's first weights, from synthetic patients: nobody's data, so no privacy is spent."""
