"""The vocabulary: frozen types and pure rules that every other room speaks. Nothing here touches a file or a network."""
