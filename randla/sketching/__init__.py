"""sketching"""
