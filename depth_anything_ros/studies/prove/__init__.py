"""`bag prove`: metric depth on a bag of one's own, judged by what the bag itself measures."""
