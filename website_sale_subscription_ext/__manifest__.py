{
    'name': "Subscriptions on the Website",
    'version': '19.0.1.0.0',
    'category': 'Sales/Subscriptions',
    'summary': "Carts with a plan ask for the first invoice and say what follows",
    'author': "Sale Subscription Ext contributors",
    'license': 'LGPL-3',
    'depends': ['website_sale', 'sale_subscription_ext'],
    'data': [
        'views/website_sale_templates.xml',
    ],
    'auto_install': True,
}
