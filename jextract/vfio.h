/* VFIO with the type 1 IOMMU or an iommufd, PCI devices and interrupts; the PCI configuration space registers that such a driver reads. */
#include <linux/vfio.h>
#include <linux/pci_regs.h>
#include "vfio_newer.h"
