"""What `plumbline demo` plays: a stage with everything that runs, a shop that changes, and the acts, one function each."""
