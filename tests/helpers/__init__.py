"""What several test modules share: files to read, commands to run, models to export."""
