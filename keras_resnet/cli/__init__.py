"""The command line: argv -> config -> call -> print."""
