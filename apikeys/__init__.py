"""Decide who may ask: API keys, their secrets, where and how often they may be used."""
