"""HuSCF-GAN on Flower: split, clustered, federated training of one conditional GAN by many devices."""
