"""Texts as samples: folders and files of them, batches of about one length, and near-duplicates."""
