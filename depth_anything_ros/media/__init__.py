"""Photographs, folders, films and webcams, without ROS."""
