"""The rules of one task: its record, its transitions, and the commit that makes each true."""
