"""Guard what runs: who may do what in the dashboard, what is abnormal, who is told."""
