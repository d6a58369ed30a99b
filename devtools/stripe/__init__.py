"""A payment provider for tests and benchmarks: localstripe, and in front of it a proxy which makes faults at will.

Odoo's own client talks to it, sent here by the addon in tests/addons. Money taken is asked at localstripe itself.
"""
