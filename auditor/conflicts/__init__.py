"""Conflicts that people decide: the policy asked, the decision recorded, the repair proposed."""
