"""Medical scans: DICOM and NIfTI as pixels, and the patients that they belong to."""
