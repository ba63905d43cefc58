"""Budgets of accounts and buckets, shared by the fleet."""
