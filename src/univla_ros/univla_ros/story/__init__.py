"""The loop closed: a policy fails, a person corrects it, its decoder learns; measured."""
