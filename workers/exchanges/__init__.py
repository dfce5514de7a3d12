"""What is known of users as files: written for people and for programs, and read again."""
