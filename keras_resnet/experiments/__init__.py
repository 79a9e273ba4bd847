"""The paper's claims as programs: each trains its nets, draws its figure and says what it saw."""
