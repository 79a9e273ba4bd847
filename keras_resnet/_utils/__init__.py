"""Files written atomically, progress, deep recursion, the process environment: nothing about networks."""
