"""Hooks for frameworks of agents, one module each; none imports a framework until it is asked for.

What they have in common is in common.py. The models' requests are metered at the HTTP client.
"""
