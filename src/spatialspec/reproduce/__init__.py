"""The papers' tables, figures and open questions on any target: one small file each, a verdict by rule, a page."""
