"""The ports on Firestore and Pub/Sub, or on Google's emulators of them."""
