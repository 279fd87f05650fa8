"""The program that is the job. Standard library only."""
